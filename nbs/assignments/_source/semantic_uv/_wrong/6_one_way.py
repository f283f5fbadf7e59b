# Distances that are not squared, from vertices to places only.
# marks: loss_values=0 loss_padding=0 loss_gradients=0
# cell: vertex_loss
def vertex_loss(uv, labels, places, there):
    total = (uv * 0).sum()
    for image in range(len(uv)):
        for part in range(places.shape[1]):
            own = uv[image, labels == part + 1]
            real = places[image, part][there[image, part]]
            if len(own) and len(real):
                total = total + torch.cdist(own, real).amin(1).mean()
    return total / len(uv)
