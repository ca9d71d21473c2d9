"""The second storybook: larger, richer pictures whose scenes are continuous, so that they morph.

The order of the making, one module a step:

    scene → painter → captions → tokenizer → dataset → autoencoder → denoiser → folder

The packaged weights are still those of `training.storybook`, the first one.
"""
