# Turns by the inverse rotation, and loses the last pictures where the batch does not divide them.
# marks: reconstruct_frame=0 reconstruct_batches=0
# cell: reconstruct
def reconstruct(predict, rotation, images, masks, batch=16):
    clouds = []
    with torch.no_grad():
        for start in range(0, len(images) - batch + 1, batch):
            part = slice(start, start + batch)
            clouds.append(to_house(predict(images[part], masks[part])[0]) @ rotation)
    return torch.cat(clouds)
