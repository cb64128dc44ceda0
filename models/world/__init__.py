"""The world of the embedded models: what a scene is, how it is drawn, worded and liked.

`vocabulary` lists the concepts and the words people use for them, `scene` is the description of a
picture, `draw` turns it into 64x64 pixels, `captions` into words, and `taste` says how good it
looks.  Nothing here imports torch; only the training of the scorers may import `taste`.
"""
