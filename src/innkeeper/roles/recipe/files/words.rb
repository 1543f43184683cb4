# The words that recipes of a container monorepo use beside their language: Env, Default, Common.
# Understood by cinc-client and by itamae alike, so it uses nothing that only one of them has.
require 'fileutils'
require 'json'

module Ctx
  # The node of a recipe, of a resource, or itself.
  def self.node(place)
    place.respond_to?(:node) ? place.node : place
  end
end

# Shared variables: of the node, then of the environment, then those that were set here.
module Env
  HOME = ENV.fetch('INNKEEPER_RECIPE', '/var/lib/innkeeper/recipe').freeze
  KEPT = "#{HOME}/variables.json".freeze

  def self.get(place, key)
    node = Ctx.node(place)
    [node[key.to_s], ENV[key.to_s.upcase], kept[key.to_s]].map(&:to_s).find { |value| !value.empty? }.to_s
  end

  # Kept in this guest for later recipes and runs; what other guests need belongs into globals.json.
  def self.set(_place, key, value)
    values = kept.merge(key.to_s => value.to_s)
    FileUtils.mkdir_p(File.dirname(KEPT))
    File.open(KEPT, File::WRONLY | File::CREAT | File::TRUNC, 0o600) { |file| file.write(JSON.generate(values)) }
    value
  end

  def self.dump(place, *keys, repo: nil)
    keys.each { |key| set(place, [repo, key].compact.uniq.join('_'), Ctx.node(place)[key.to_s].to_json) }
  end

  def self.creds(place, login = 'login', password = 'password')
    [get(place, login), get(place, password)]
  end

  # Attributes files ask the environment for what the container was declared with (`ENV['IP']`).
  def self.export(file)
    JSON.parse(File.read(file)).each do |key, value|
      ENV[key.upcase] ||= value.to_s unless value.is_a?(Hash) || value.is_a?(Array) || value.to_s.include?("\0")
    end
  end

  def self.kept
    File.exist?(KEPT) ? JSON.parse(File.read(KEPT)) : {}
  end
end

# The user and the group that every container has.
module Default
  def self.user(place, default: nil)
    named(place, 'app_user', default || 'app')
  end

  def self.group(place, default: nil)
    named(place, 'app_group', default || 'config')
  end

  def self.config(place, default: nil)
    named(place, 'app_config', default || 'config')
  end

  def self.named(place, key, default)
    value = Env.get(place, key)
    value.empty? ? default : value
  end
end

module Common
  ACTIVE = 30 # seconds

  def self.packages(place, *names, action: :install)
    names.flatten.each do |name|
      place.package name do
        action action
      end
    end
  end

  def self.directories(place, paths, owner: nil, group: nil, mode: '0755', recursive: true, action: :create)
    owner ||= Default.user(place)
    group ||= Default.group(place)
    Array(paths).each do |path|
      place.directory path do
        owner owner
        group group
        mode mode
        recursive recursive
        action action
      end
    end
  end

  def self.arch(_place = nil)
    { 'x86_64' => 'amd64', 'aarch64' => 'arm64', 'armv7l' => 'armv7', 'armv6l' => 'armv7' }.fetch(`uname -m`.strip, 'amd64')
  end

  # Installs a unit where `exec` or `unit` describe one, keeps it running, and checks that it becomes active.
  def self.application(place, name, user: nil, group: nil, exec: nil, cwd: nil, unit: {}, action: %i[enable start],
                       actions: nil, restart: 'on-failure', subscribe: nil)
    action = Array(actions || action)
    refs = Array(subscribe).flatten
    refs += [unit_of(place, name, user: user, group: group, exec: exec, cwd: cwd, unit: unit, restart: restart)] if exec || !unit.empty?

    place.service name do
      action action
      refs.each { |ref| subscribes :restart, ref, :delayed }
    end
    active(place, name) if action.map(&:to_sym).intersect?(%i[start restart])
  end

  def self.unit_of(place, name, user:, group:, exec:, cwd:, unit:, restart:)
    service = { 'Type' => 'simple', 'User' => user || Default.user(place), 'Group' => group || Default.group(place),
                'Restart' => restart, 'ExecStart' => exec, 'WorkingDirectory' => cwd }.compact
    sections = { 'Unit' => { 'Description' => name.capitalize, 'After' => 'network.target' }, 'Service' => service,
                 'Install' => { 'WantedBy' => 'multi-user.target' } }
    sections = sections.merge(unit) { |_, ours, theirs| ours.merge(theirs) }
    text = sections.map { |section, lines| "[#{section}]\n" + lines.compact.map { |key, value| "#{key}=#{value}\n" }.join }.join("\n")
    reload = "systemctl daemon-reload for #{name}"

    place.execute reload do
      command 'systemctl daemon-reload'
      action :nothing
    end
    path = "/etc/systemd/system/#{name}.service"
    place.file path do
      owner 'root'
      group 'root'
      mode '0644'
      content text
      notifies :run, "execute[#{reload}]", :immediately
    end
    "file[#{path}]"
  end

  def self.active(place, name)
    quoted = name.gsub(/[^A-Za-z0-9:_.@-]/, '')
    wait = "for second in $(seq #{ACTIVE}); do systemctl is-active --quiet #{quoted} && exit 0; sleep 1; done"
    place.execute "#{name} becomes active" do
      command "#{wait}; systemctl status --no-pager --lines=20 #{quoted} >&2; exit 1"
      not_if "systemctl is-active --quiet #{quoted}"
    end
  end
  private_class_method :unit_of, :active
end

Env.export("#{Env::HOME}/node.json") if File.exist?("#{Env::HOME}/node.json")
