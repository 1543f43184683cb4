"""Where desired state comes from: git repositories, and the webhooks that tell of them."""
