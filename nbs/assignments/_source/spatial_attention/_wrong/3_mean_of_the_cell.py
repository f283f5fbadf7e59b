# The sum over the object is divided by the area of the cell.
# marks: pool_object=0 look_map=0
# cell: pool_anchors
def pool_anchors(source, mask, scales):
    height, width = source.shape[-2:]
    anchors, valid = [], []
    for p in scales:
        for i in range(p):
            rows = slice(i * height // p, -(-(i + 1) * height // p))
            for j in range(p):
                columns = slice(j * width // p, -(-(j + 1) * width // p))
                part = mask[:, :, rows, columns]
                anchors.append((source[:, :, rows, columns] * part).mean((-2, -1)))
                valid.append(part.sum((-3, -2, -1)) > 0)
    return torch.stack(anchors, 1), torch.stack(valid, 1)
