package 'mosquitto'

Common.directories(self, ['/app/broker', node['broker']['dir']['data']])

template node['broker']['file']['config'] do
  source 'mosquitto.conf.erb'
  owner Default.user(self)
  group Default.group(self)
  mode '0644'
  variables(port: node['broker']['port'], data_dir: node['broker']['dir']['data'])
end

Env.set(self, 'broker', "mqtt://#{node['ip']}:#{node['broker']['port']}")

Common.application(self, 'mosquitto',
  exec: "/usr/sbin/mosquitto -c #{node['broker']['file']['config']}",
  subscribe: "template[#{node['broker']['file']['config']}]")
