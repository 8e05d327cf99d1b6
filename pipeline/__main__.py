"""`python -m recycle_pipeline.pipeline`: the command, for torchrun's -m."""

from recycle_pipeline.pipeline.cli import process

if __name__ == "__main__":
    process()
