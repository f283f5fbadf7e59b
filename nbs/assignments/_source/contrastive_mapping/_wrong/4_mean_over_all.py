# The mean is over all photographs, also over those without a positive.
# marks: loss_nothing=0
# cell: csm_loss
def csm_loss(scores, positives, unsure, temperature=0.1):
    if temperature <= 0:
        raise refuse("temperature", "a number above 0", temperature)
    if (positives & unsure).any():
        raise refuse("unsure", "pairs that are not positive", "some that are")
    logits = (scores / temperature).masked_fill(unsure, torch.finfo(scores.dtype).min)
    logs = torch.log_softmax(logits, dim=1)
    return -((logs * positives).sum(1) / positives.sum(1).clamp(min=1)).mean()
