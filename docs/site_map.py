"""What stands where on the site: the order of its parts and the pages in front."""

from __future__ import annotations

# The six components that the book exists to teach, in the order of their numbers.
COMPONENTS = (
    "ssl3d.cycle_consistency",
    "umr.semantic_uv",
    "agt.adaptive_sampling",
    "tars.deformation",
    "lem.spatial_attention",
    "lem.contrastive_mapping",
)
