"""Ways to find a subject, one file each. All take an image and return a mask in which 1 is the subject."""
