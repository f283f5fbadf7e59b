# What was summed before the largest product rose is not scaled down.
# marks: blocks_values=0 blocks_gradients=0
# cell: attend_in_blocks
def attend_in_blocks(query, key, value, valid, temperature=1.0, block=16):
    lowest = torch.finfo(query.dtype).min
    most = torch.full_like(query[..., :1], lowest)
    total = torch.zeros_like(most)
    answer = query.new_zeros(*query.shape[:2], value.shape[-1])
    for start in range(0, key.shape[1], block):
        part = slice(start, start + block)
        seen = valid[:, None, part]
        products = query @ key[:, part].transpose(1, 2) / temperature
        products = products.masked_fill(~seen, lowest)
        most = torch.maximum(most, products.amax(-1, keepdim=True)).detach()
        weights = (products - most).exp() * seen
        total = total + weights.sum(-1, keepdim=True)
        answer = answer + weights @ value[:, part]
    return answer / total.clamp(min=1e-30)
