"""A state dict from elsewhere to a Subnetwork: `state_files` reads it, `published_names` renames it,
`conventions` finds the effective weights in it, `fitting` compares them with the architecture,
`foreign` puts them as masks, signs and gains.
"""
