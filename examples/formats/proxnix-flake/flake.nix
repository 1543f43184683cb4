{
  description = "Machines as a flake's output";
  outputs = { self }: { proxnix = import ./proxnix.nix; };
}
