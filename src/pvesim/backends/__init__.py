"""What a guest is made of: the seam behind which a record may become a real container."""
