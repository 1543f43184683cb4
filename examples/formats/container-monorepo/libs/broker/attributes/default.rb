default['broker']['port'] = 1883
default['broker']['dir']['data'] = '/app/broker/data'
default['broker']['file']['config'] = '/app/broker/mosquitto.conf'
