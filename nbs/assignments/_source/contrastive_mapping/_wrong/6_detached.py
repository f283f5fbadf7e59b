# Detaches the photographs' codes instead of the shapes', and the slow copy stays in the graph.
# marks: follow_apart=0 evolve_gradient=0
# cell: follow
def follow(slow, fast, keep):
    return [keep * old + (1 - keep) * new for old, new in zip(slow, fast)]


# cell: evolve
def evolve(e_n, e_v, slow, weights, nearest=2, temperature=0.1):
    positives, unsure = choose_pairs(torch.cdist(*slow), nearest)
    scores = pair_scores(e_n.detach(), e_v, *weights)
    return csm_loss(scores, positives, unsure, temperature)
