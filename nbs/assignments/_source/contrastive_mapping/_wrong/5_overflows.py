# The formula as it reads, which overflows, divides 0 by 0, and takes the length of a zero code.
# marks: score_zero=0 loss_nothing=0 loss_cold=0
# cell: pair_scores
def pair_scores(e_n, e_v, w_n, w_v):
    image, shape = e_n @ w_n.T, e_v @ w_v.T
    lengths = image.norm(dim=1)[:, None] * shape.norm(dim=1)[None]
    return (1 + image @ shape.T / lengths) / 2


# cell: csm_loss
def csm_loss(scores, positives, unsure, temperature=0.1):
    if temperature <= 0:
        raise refuse("temperature", "a number above 0", temperature)
    if (positives & unsure).any():
        raise refuse("unsure", "pairs that are not positive", "some that are")
    top = torch.exp(scores / temperature)
    logs = torch.log(top / (top * ~unsure).sum(1, keepdim=True))
    keep = positives.any(1)
    each = torch.where(positives, -logs, torch.zeros_like(logs)).sum(1) / positives.sum(1)
    return each[keep].mean()
