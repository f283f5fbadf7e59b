# Uses the first silhouette for every image: right for a batch of one.
# marks: pool_batch=0 look_batch=0
# cell: pool_anchors
def pool_anchors(source, mask, scales):
    height, width = source.shape[-2:]
    mask = mask[0]
    sums, shares = [], []
    for p in scales:
        for i in range(p):
            rows = slice(i * height // p, -(-(i + 1) * height // p))
            for j in range(p):
                columns = slice(j * width // p, -(-(j + 1) * width // p))
                part = mask[:, rows, columns]
                sums.append((source[:, :, rows, columns] * part).sum((-2, -1)))
                shares.append(part.sum((-2, -1)).expand(len(source), 1))
    total, share = torch.stack(sums, 1), torch.stack(shares, 1)
    return total / share.clamp(min=1e-12), share[..., 0] > 0
