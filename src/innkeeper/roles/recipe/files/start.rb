# The first recipe of a run of itamae. A recipe is evaluated inside of a method, so that what defines classes is a file.
require_relative 'chef'
Innkeeper.prepare(node)
