"""What the GAN recipes reach on their test splits, with the trivial answer or the real-against-real floor beside them.

`python tests/benchmarks/gan_quality.py [gaussians25 mnist5k_dcgan mnist5k_wgan_gp mnist5k_conditional]`
"""

from __future__ import annotations

import sys

from harness import table, train

RECIPES = ("gaussians25", "mnist5k_dcgan", "mnist5k_wgan_gp", "mnist5k_conditional")
SHOWN = ("good", "modes", "fid", "fid_floor", "classes", "agreement", "precision", "recall", "copied")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        print(f"no recipe {unknown[0]!r}; expected some of {', '.join(RECIPES)}", file=sys.stderr)
        return 2
    rows = []
    for name in names or RECIPES:
        record = train(f"experiment=gan/{name}")
        for metric in SHOWN:
            value = record["metrics"].get(f"test/{metric}")
            if value is not None:
                trivial = record["baselines"].get(f"test/{metric}")
                rows.append(
                    (
                        name,
                        metric,
                        f"{value:.4f}",
                        "" if trivial is None else f"{trivial:.4f}",
                        f"{record['seconds']:.0f} s",
                    )
                )
    print(table(("recipe", "metric", "test", "one Gaussian", "training"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
