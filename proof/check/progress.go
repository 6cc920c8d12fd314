package check

// Invariants of this package, which hold whatever the states mean.
const (
	// NoEnd is violated by a state from which progress leads to no end.
	NoEnd = "no end"
	// EndlessProgress is violated by a state from which progress can go on for ever.
	EndlessProgress = "endless progress"
)

// edges holds the progress between states. The edges of state i are to[end[i-1]:end[i]].
type edges struct {
	to  []int32
	end []uint32
}

func (e *edges) add(to int32) { e.to = append(e.to, to) }
func (e *edges) close()       { e.end = append(e.end, uint32(len(e.to))) }

// of returns the states that progress leads to from a state.
func (e *edges) of(state int32) []int32 {
	from := uint32(0)
	if state > 0 {
		from = e.end[state-1]
	}
	return e.to[from:e.end[state]]
}

// reversed returns the edges in the other direction.
func (e *edges) reversed() edges {
	r := edges{to: make([]int32, len(e.to)), end: make([]uint32, len(e.end))}
	for _, to := range e.to {
		r.end[to]++
	}
	sum := uint32(0)
	for i, n := range r.end {
		r.end[i], sum = sum, sum+n
	}
	for from := range e.end {
		for _, to := range e.of(int32(from)) {
			r.to[r.end[to]] = int32(from)
			r.end[to]++
		}
	}
	return r
}

// checkProgress removes the states without progress, then those whose progress leads to removed
// states only, and so on. What is left has endless progress, and is checked for an end.
func (e *explorer[S, M]) checkProgress() {
	back := e.edges.reversed()
	open := make([]int32, len(e.nodes)) // edges to states that are not removed
	var removed []int32
	for i := range open {
		if open[i] = int32(len(e.edges.of(int32(i)))); open[i] == 0 {
			removed = append(removed, int32(i))
		}
	}
	ends := append([]int32{}, removed...)
	for i := 0; i < len(removed); i++ {
		for _, from := range back.of(removed[i]) {
			if open[from]--; open[from] == 0 {
				removed = append(removed, from)
			}
		}
	}
	if len(removed) == len(e.nodes) {
		return // no cycle, so every state leads to an end whatever the order of moves
	}
	reach := make([]bool, len(e.nodes))
	for _, end := range ends {
		reach[end] = true
	}
	for i := 0; i < len(ends); i++ {
		for _, from := range back.of(ends[i]) {
			if !reach[from] {
				reach[from] = true
				ends = append(ends, from)
			}
		}
	}
	for i, ok := range reach {
		if !ok {
			e.found.Breach = &Breach{NoEnd, "no end can be reached from here"}
			e.found.Path = e.path(int32(i))
			return
		}
	}
	for i, n := range open {
		if n > 0 {
			e.found.Breach = &Breach{EndlessProgress, "the last moves can repeat for ever"}
			e.found.Path = e.path(int32(i), e.cycle(int32(i), open)...)
			return
		}
	}
}

// cycle returns steps from a state through states with open edges until one of them repeats.
func (e *explorer[S, M]) cycle(at int32, open []int32) []Step[S, M] {
	var run []Step[S, M]
	seen := map[int32]bool{}
	state := e.path(at).End()
	for !seen[at] {
		seen[at] = true
		for _, step := range e.sys.Steps(state, nil) {
			to := e.known[e.key(step.To)]
			if step.Progress && to != at && open[to] > 0 {
				run, at, state = append(run, step), to, step.To
				break
			}
		}
	}
	return run
}
