# Chef's language in itamae: what cookbooks of a container monorepo use of it, and where they expect their files.
require 'itamae'
require 'open-uri'
require_relative 'libraries/words'

module Chef
  module Log
    def self.method_missing(level, text = '', *)
      Itamae.logger.public_send(level.to_sym == :warn ? :warn : :debug, text.to_s)
    end

    def self.respond_to_missing?(*)
      true
    end
  end
end

module Innkeeper
  COOKBOOK = ENV.fetch('INNKEEPER_COOKBOOK')
  NAME = ENV.fetch('INNKEEPER_COOKBOOK_NAME')

  # `default['a']['b'] = 1` of an attributes file; the node's own values come before it.
  class Attributes
    def initialize(node)
      @node = node
      @default = Hash.new { |hash, key| hash[key] = Hash.new(&hash.default_proc) }
    end

    attr_reader :default, :node
    alias override default
    alias normal default
    alias force_default default

    def read(path)
      instance_eval(File.read(path), path)
      deep = proc { |_, ours, theirs| ours.is_a?(Hash) && theirs.is_a?(Hash) ? ours.merge(theirs, &deep) : theirs }
      @node.mash.replace(Itamae::Mash.new(@default.merge(@node.mash.to_hash, &deep)))
    end
  end

  # Libraries first, then attributes, default.rb before the others, as Chef reads them.
  def self.prepare(node)
    Dir["#{COOKBOOK}/libraries/**/*.rb"].sort.each { |path| require path }
    attributes = Attributes.new(node)
    paths = Dir["#{COOKBOOK}/attributes/*.rb"].sort
    paths.partition { |path| File.basename(path) == 'default.rb' }.flatten.each { |path| attributes.read(path) }
  end

  def self.find(folder, source)
    places = ["#{COOKBOOK}/#{folder}/#{source}", "#{COOKBOOK}/#{folder}/default/#{source}"]
    places.find { |path| File.file?(path) } || raise("#{source} is neither in #{folder} nor in #{folder}/default")
  end
end

module Itamae
  class Node
    def run_state
      @run_state ||= Mash.new
    end

    def default
      @mash
    end
    alias normal default
    alias override default
  end

  module Resource
    class Base
      class EvalContext
        def only_if(command = nil, &block)
          @only_if_command = command || block
        end

        def not_if(command = nil, &block)
          @not_if_command = command || block
        end

        def lazy
          yield
        end

        def cookbook_name
          Innkeeper::NAME
        end
      end

      Resource.constants.map { |name| Resource.const_get(name) }.push(Base).each do |type|
        next unless type.is_a?(Class) && type <= Base

        type.define_attribute :sensitive, default: false
        type.define_attribute :ignore_failure, default: false
        type.define_attribute :mode, type: [String, Integer] if type.defined_attributes.key?(:mode)
        type.define_attribute :backup, {} if type <= File
      end

      prepend(Module.new do
        def do_not_run_because_of_only_if?
          @only_if_command.is_a?(Proc) ? !@only_if_command.call : super
        end

        def do_not_run_because_of_not_if?
          @not_if_command.is_a?(Proc) ? @not_if_command.call : super
        end

        private

        def process_attributes
          super
          attributes.mode = format('%04o', attributes.mode) if attributes[:mode].is_a?(Integer)
        end
      end)
    end

    class File
      def action_create_if_missing(options)
        action_create(options) unless current.exist
      end
    end

    class Directory
      define_attribute :recursive, default: false
    end

    class Package
      def action_upgrade(options)
        action_install(options)
      end
    end

    class User
      define_attribute :manage_home, {}
      define_attribute :system, {}
      define_attribute :comment, {}
      prepend(Module.new do
        private

        def process_attributes
          super
          attributes.create_home = attributes.manage_home unless attributes[:manage_home].nil?
          attributes.system_user = attributes.system unless attributes[:system].nil?
        end
      end)
    end

    class Execute
      define_attribute :environment, type: Hash, default: {}
      define_attribute :creates, type: String
      define_attribute :group, type: String
      define_attribute :timeout, {}
      define_attribute :live_stream, {}

      prepend(Module.new do
        def do_not_run_because_of_not_if?
          (attributes[:creates] && ::File.exist?(attributes.creates)) || super
        end

        def action_run(options)
          own = attributes.environment.map { |key, value| "#{key}=#{value.to_s.shellescape}" }
          attributes.command = "env #{own.join(' ')} /bin/sh -c #{attributes.command.shellescape}" unless own.empty?
          super
        end
      end)
    end

    class RemoteFile
      private

      def find_source_file
        source = attributes.source
        return download(source) if source.to_s.match?(%r{\Ahttps?://})

        source = ::File.basename(attributes.path) + (is_a?(Template) ? '.erb' : '') if source == :auto
        Innkeeper.find(source_file_dir, source)
      end

      def download(url)
        @downloaded = Tempfile.new('innkeeper')
        URI.parse(url).open('rb') { |stream| IO.copy_stream(stream, @downloaded) }
        @downloaded.close
        @downloaded.path
      end
    end

    class CookbookFile < RemoteFile
    end

    class RubyBlock < LocalRubyBlock
      def resource_type
        'ruby_block'
      end
    end

    class Log < Base
      define_attribute :action, default: :write
      define_attribute :message, type: String, default_name: true
      define_attribute :level, {}

      def action_write(_options)
        Itamae.logger.info attributes.message
      end
    end
  end

  class Notification
    prepend(Module.new do
      def initialize(resource, action, target, timing)
        super(resource, action, target, timing.to_sym == :immediate ? :immediately : timing.to_sym)
      end
    end)
  end

  class Recipe
    class EvalContext
      def package(name, &block)
        Array(name).each { |one| method_missing(:package, one, &block) }
      end

      def apt_update(*) end

      def cookbook_name
        Innkeeper::NAME
      end

      def recipe_name
        ::File.basename(@recipe.path, '.rb')
      end

      def lazy
        yield
      end

      def platform?(*names)
        names.include?('debian')
      end

      prepend(Module.new do
        def include_recipe(target)
          cookbook, name = target.split('::', 2)
          super(cookbook == Innkeeper::NAME ? "#{Innkeeper::COOKBOOK}/recipes/#{name || 'default'}.rb" : target)
        end
      end)
    end
  end

  class Backend::Local
    private

    # sudo is not in every container, and root needs nobody's leave.
    def build_command(commands, options)
      return super if options[:user].nil?

      plain = super(commands, options.merge(user: nil))
      options[:user] == 'root' ? plain : "runuser -u #{options[:user].shellescape} -- #{plain}"
    end
  end
end
