# Every image of a batch is asked at the places of the first.
# marks: corners_inside=0 corners_seam=0 sample_gradients=0 sample_batch=0
# marks: step_values=0 step_straight=0 lost_values=0
# cell: corners
def corners(at, height, width):
    x, y = at[:1, :, 0], at[:1, :, 1].clamp(0, height - 1)
    left, top = x.detach().floor(), y.detach().floor().clamp(max=height - 2)
    a, b = x - left, y - top
    one, other = left.long() % width, (left.long() + 1) % width
    row = top.long() * width
    index = torch.stack([row + one, row + other, row + width + one, row + width + other], -1)
    weights = torch.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b], -1)
    return index.expand(len(at), -1, -1), weights.expand(len(at), -1, -1)
