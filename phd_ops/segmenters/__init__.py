"""One file per way of finding a subject. Each takes a picture and gives a mask in which 1 is the subject."""
