# Softmax over the photographs instead of the shapes.
# marks: loss_values=0 loss_unsure=0 loss_nothing=0 loss_cold=0 loss_gradients=0 evolve_values=0
# cell: csm_loss
def csm_loss(scores, positives, unsure, temperature=0.1):
    if temperature <= 0:
        raise refuse("temperature", "a number above 0", temperature)
    if (positives & unsure).any():
        raise refuse("unsure", "pairs that are not positive", "some that are")
    logits = (scores / temperature).masked_fill(unsure, torch.finfo(scores.dtype).min)
    logs = torch.log_softmax(logits, dim=0)
    count = positives.sum(1)
    each = -(logs * positives).sum(1) / count.clamp(min=1)
    return each.sum() / (count > 0).sum().clamp(min=1)
