"""One file per way of finding a subject. Each takes an image and gives a mask in which 1 is the subject."""
