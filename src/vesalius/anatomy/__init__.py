"""What an encoder knows of the body. One measure a file: Config, and rows(observed, config, save) that yields results.

`observe` looks at every image once; `features.subjects` are the images, `motion` how they are moved, `field` a map of vectors;
`command.anatomy` measures runs and their controls side by side.
"""
