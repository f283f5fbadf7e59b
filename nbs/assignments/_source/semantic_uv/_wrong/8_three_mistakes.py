# The first flow for every photograph, no count is refused, and the vertices are detached.
# marks: carry_batch=0 choose_refuses=0 loss_absent=0 loss_gradients=0
# cell: carry
def carry(maps, flow):
    places = flow[:1].permute(0, 2, 3, 1).expand(len(maps), -1, -1, -1)
    parts = torch.nn.functional.grid_sample(maps, places, align_corners=False)
    return torch.cat([1 - parts.sum(1, keepdim=True), parts], 1)


# cell: choose
def choose(carried, seen, error, count):
    best = int(error.argmin())
    both = (seen * seen[best])[:, 0]
    square = (carried - carried[best]).square().sum(1)
    gap = (square * both).sum((1, 2)) / both.sum((1, 2))
    gap[best] = -1.0
    return gap.argsort(stable=True)[:count]


# cell: vertex_loss
def vertex_loss(uv, labels, places, there):
    uv, total = uv.detach(), uv.new_zeros(())
    for image in range(len(uv)):
        for part in range(places.shape[1]):
            own = uv[image, labels == part + 1]
            real = places[image, part][there[image, part]]
            if len(own) and len(real):
                square = (own[:, None] - real[None]).square().sum(-1)
                total = total + square.amin(1).mean() + square.amin(0).mean()
    return total / len(uv)
