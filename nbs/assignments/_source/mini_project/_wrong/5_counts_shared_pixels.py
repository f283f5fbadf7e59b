# The silhouette with most shared pixels is taken, not the one with the best overlap.
# marks: look_up_values=0 look_up_odd=0
# cell: look_up
def look_up(masks, known):
    shared = (masks.flatten(1) > 0.5).float() @ (known.flatten(1) > 0.5).float().T
    best = shared.max(1)
    return best.indices, best.values / masks[0].numel()
