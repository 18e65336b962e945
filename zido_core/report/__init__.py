"""One HTML file that shows what a run or an evaluation did: pictures, prompts, figures, options, hashes."""
