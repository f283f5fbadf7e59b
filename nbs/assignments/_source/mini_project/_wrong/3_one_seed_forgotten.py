# The training is seeded, the first weights are not: every repetition starts from the same network.
# marks: train_seed=0
# cell: train
def train(fields, steps, seed):
    tiny = SSL3D.Config.tiny()
    system = SSL3D(replace(tiny, steps=steps, batch=min(tiny.batch, len(fields["image"]))))
    return system, fit(system, Collection(fields), seed=seed, device="cpu", progress=False)
