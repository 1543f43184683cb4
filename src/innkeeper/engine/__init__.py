"""From a plan to reality: what the outside must offer, how steps run, what a failure means."""
