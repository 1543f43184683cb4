let
  server = name: id: {
    inherit name;
    vm_id = id;
    image_type = "my-server";
    cores = 2;
    sockets = 1;
    memory_mb = 4096;
    disk_gb = 20;
    storage_location = "local-lvm";
    cloud_init = "None";
    protected = false;
  };
in
{
  vms = {
    "my-server" = server "my-server" 810;
    "my-database" = server "my-database" 811 // { protected = true; };
  };
}
