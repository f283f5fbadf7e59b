# Only the photographs choose; nobody asks the renderings, and nothing is unsure.
# marks: pairs_positive=0 pairs_unsure=0 evolve_values=0
# cell: choose_pairs
def choose_pairs(distance, nearest):
    most = min(distance.shape)
    if not 1 <= nearest <= most:
        raise refuse("nearest", f"a number from 1 to {most}", nearest)
    by_image = distance <= distance.kthvalue(nearest, 1, keepdim=True).values
    return by_image, torch.zeros_like(by_image)
