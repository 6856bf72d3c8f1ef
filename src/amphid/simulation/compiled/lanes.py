"""The source of what a tile does: trials side by side, one connection walked once for all of them.

The arrays of a tile hold LANES entries for each cell, one per trial. Loops over trials have that
fixed length, so the loops over cells are written as they are and vectorized; the walks along
connections, which keep a cell's sums in registers, are written in the compiler's own terms.
"""

from amphid.kernels import APART

LANES_TOOLS = (
    APART
    + '''
INDEX = ir.IntType(64)


def along(kind):
    """A walk along the connections of a cell, from first to last.

    collect: out[cell] = sum of weight * values[place]. add: the same, added. differ: out[cell] =
    sum of weight * (values[place] - values[cell]). spread: out[place] += weight * values[cell]. A
    place counts from `base`, round the end of `rows` rows. Weights are [K], or [K, LANES] where
    trials have their own.
    """

    @intrinsic
    def walk(typing, values, place, weight, first, last, base, rows, out, cell):
        whole = types.intp
        given = values, place, weight, whole, whole, whole, whole, out, whole

        def generate(context, builder, signature, arguments):
            Walk(context, builder, signature.args, arguments).write(kind)
            return context.get_dummy_value()

        return types.void(*given), generate

    return walk


class Walk:
    """Writes one walk."""

    def __init__(self, context, builder, given, arguments):
        make = context.make_array
        arrays = [make(given[k])(context, builder, arguments[k]) for k in (0, 1, 2, 7)]
        self.values, self.place, self.weight, self.out = (array.data for array in arrays)
        self.shared = given[2].ndim == 1
        self.first, self.last, self.base, self.rows = arguments[3:7]
        self.cell, self.builder = arguments[8], builder
        number = context.get_value_type(given[0].dtype)
        wide = min(LANES, 512 // given[0].dtype.bitwidth)
        self.vector, self.bytes = ir.VectorType(number, wide), given[0].dtype.bitwidth // 8
        self.steps = [INDEX(start) for start in range(0, LANES, wide)]

    def write(self, kind):
        builder = self.builder
        own = self.load(self.out if kind == "add" else self.values, self.cell)
        start = own if kind == "add" else [ir.Constant(self.vector, None) for _ in own]
        before = builder.block
        loop, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", self.first, self.last), loop, done)
        builder.position_at_end(loop)
        edge = builder.phi(INDEX)
        edge.add_incoming(self.first, before)
        sums = [] if kind == "spread" else [builder.phi(self.vector) for _ in own]
        place, weight = self.placed(edge), self.weighted(edge)
        if kind == "spread":
            sums = self.load(self.out, place)
            self.store(place, [self.fused(w, x, s) for w, x, s in zip(weight, own, sums)])
        else:
            seen = self.load(self.values, place)
            if kind == "differ":
                seen = [builder.fsub(x, mine) for x, mine in zip(seen, own)]
            after = [self.fused(w, x, s) for w, x, s in zip(weight, seen, sums)]
            for total, begun, summed in zip(sums, start, after):
                total.add_incoming(begun, before)
                total.add_incoming(summed, loop)
        following = builder.add(edge, INDEX(1))
        edge.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, self.last), loop, done)
        builder.position_at_end(done)
        if kind != "spread":
            ends = [builder.phi(self.vector) for _ in own]
            for end, begun, summed in zip(ends, start, after):
                end.add_incoming(begun, before)
                end.add_incoming(summed, loop)
            self.store(self.cell, ends)

    def placed(self, edge):
        builder = self.builder
        place = builder.load(builder.gep(self.place, [edge]))
        if place.type.width < 64:
            place = builder.zext(place, INDEX)
        place = builder.add(place, self.base)
        beyond = builder.icmp_signed(">=", place, self.rows)
        return builder.select(beyond, builder.sub(place, self.rows), place)

    def weighted(self, edge):
        builder = self.builder
        if not self.shared:
            return self.load(self.weight, edge)
        one, zero = ir.IntType(32), ir.Constant(self.vector, ir.Undefined)
        weight = builder.load(builder.gep(self.weight, [edge]))
        weight = builder.insert_element(zero, weight, one(0))
        every = ir.Constant(ir.VectorType(one, self.vector.count), None)
        return [builder.shuffle_vector(weight, zero, every)] * len(self.steps)

    def pointers(self, array, row):
        start = self.builder.mul(row, INDEX(LANES))
        places = [self.builder.add(start, step) for step in self.steps]
        kind = self.vector.as_pointer()
        return [self.builder.bitcast(self.builder.gep(array, [k]), kind) for k in places]

    def load(self, array, row):
        return [self.builder.load(p, align=self.bytes) for p in self.pointers(array, row)]

    def store(self, row, vectors):
        for pointer, vector in zip(self.pointers(self.out, row), vectors):
            self.builder.store(vector, pointer, align=self.bytes)

    def fused(self, weight, value, total):
        product = self.builder.fmul(weight, value, flags=("contract",))
        return self.builder.fadd(product, total, flags=("contract",))


collect, add, differ, spread = map(along, ("collect", "add", "differ", "spread"))


@inner
def carry(n, values, start, place, weight, base, rows, out):
    for cell in range(n):
        collect(values, place, weight, start[cell], start[cell + 1], base, rows, out, cell)


@inner
def junctions(n, values, start, place, weight, out):
    for cell in range(n):
        differ(values, place, weight, start[cell], start[cell + 1], 0, n, out, cell)


@inner
def deliver(count, fired, values, start, place, weight, base, rows, out):
    for k in range(count):
        cell = fired[k]
        spread(values, place, weight, start[cell], start[cell + 1], base, rows, out, cell)


@inner
def given_out(n, values, fired):
    """Cells that give out what is not zero in one trial at least."""
    bits = values.view(BITS)
    count = 0
    for cell in range(n):
        found = BITS(0)
        for k in range(cell * LANES, (cell + 1) * LANES):
            found |= bits[k] & PLAIN
        if found != 0:
            fired[count] = cell
            count += 1
    return count


@inner
def clear(values):
    for k in range(len(values)):
        values[k] = 0


@inner
def copy(values, to):
    apart()
    for k in range(len(values)):
        to[k] = values[k]


@inner
def gather(cells, everywhere, here):
    apart()
    for k in range(len(cells)):
        for lane in range(LANES):
            here[k * LANES + lane] = everywhere[cells[k] * LANES + lane]


@inner
def scatter(cells, here, everywhere):
    apart()
    for k in range(len(cells)):
        for lane in range(LANES):
            everywhere[cells[k] * LANES + lane] = here[k * LANES + lane]


@inner
def drive(cells, current, first, width, external):
    """Currents [trials or 1, K] into cells; trials that are not there are driven as the last."""
    for k in range(len(cells)):
        for lane in range(LANES):
            external[cells[k] * LANES + lane] = 0
    for lane in range(LANES):
        row = min(first + min(lane, width - 1), len(current) - 1)
        for k in range(len(cells)):
            external[cells[k] * LANES + lane] += current[row, k]


@inner
def keep(kept, values, first, width, to):
    """Trials [trials, K] as they are recorded, of the cells that are kept."""
    for lane in range(width):
        for k in range(len(kept)):
            to[first + lane, k] = values[kept[k] * LANES + lane]


@inner
def note_spikes(t, count, fired, values, width, counters, steps, trials, cells):
    for k in range(count):
        for lane in range(width):
            if values[fired[k] * LANES + lane] != 0:
                steps[counters[1]] = t
                trials[counters[1]] = lane
                cells[counters[1]] = fired[k]
                counters[1] += 1
'''
)
