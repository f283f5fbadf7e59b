# All three collections are cut out of the training split.
# marks: split_apart=0
# cell: split_data
def split_data(category, count, seed):
    fewer = max(1, count // 5)
    everything = samples(
        category, "train", count + 2 * fewer, seed=seed, size=SIZE, points=POINTS, progress=False
    )
    cut = lambda a, b: Collection({k: v[a:b] for k, v in everything.fields.items()})
    return {
        "train": cut(0, count),
        "val": cut(count, count + fewer),
        "test": cut(count + fewer, count + 2 * fewer),
    }
