"""The network for the pictures between two: FILM, small, trained from nothing.

It learns from triplets: two pictures and one between them, painted while a scene changes
(triplets.py), painted and moved as by a camera (motion.py), and taken out of films of the embedded
model (films.py). Its weights are not made yet; a render will read them, and never this package.
"""
