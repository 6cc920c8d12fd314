// Package check explores the states of a system that is given by its moves: all states within the
// bounds of the system ([Explore]), or random runs ([Walk]). It knows nothing of what the states
// mean.
//
// Explore guarantees that it visits every state that any sequence of moves reaches, each once, and
// checks three things: the invariants of each step, the states in which no progress is possible, and
// that every state can make progress to an end. It goes breadth first, so the path to a violated
// invariant is a shortest one. States are compared by the first 128 bits of a SHA-256 of their
// encoding: two different states are taken for one with a probability below 10^-20 at a billion
// states.
//
// It does not prove anything beyond the bounds of the system, and it fails by running out of memory:
// it needs about 100 bytes per state, and the states of two levels as they are. A limit ends it
// before, with [Result.Complete] false.
package check

import (
	"crypto/sha256"
	"time"
)

// System is a set of states S with moves M between them.
type System[S, M any] struct {
	// Starts lists the states to begin with.
	Starts []S
	// Steps appends the steps that are possible in a state, and returns the longer slice. For equal
	// states it appends equal steps in the same order.
	Steps func(state S, steps []Step[S, M]) []Step[S, M]
	// Encode appends the canonical encoding of a state: equal for two states if and only if the same
	// moves are possible in both, now and later.
	Encode func(b []byte, state S) []byte
	// Broken returns the invariant that a step violates, or nil. The first state of a run is checked
	// as a step from itself.
	Broken func(from, to S) *Breach
	// AtRest returns what is wrong with a state in which no progress is possible, or nil when such a
	// state is an end.
	AtRest func(state S) *Breach
}

// Step is a move and the state that it leads to.
type Step[S, M any] struct {
	Move M
	// Progress reports that the system makes this move by itself, sooner or later. Other moves may
	// happen or not: faults, and the decisions of persons.
	Progress bool
	To       S
}

// Breach is a violated invariant.
type Breach struct {
	Invariant string // its short name, such as "I1"
	Text      string // one line
}

// Path is a run: a first state, and the steps from there.
type Path[S, M any] struct {
	Start S
	Steps []Step[S, M]
}

// End returns the last state.
func (p Path[S, M]) End() S {
	if len(p.Steps) == 0 {
		return p.Start
	}
	return p.Steps[len(p.Steps)-1].To
}

// Result is what an exploration, or a number of walks, found.
type Result[S, M any] struct {
	States      int // that were reached; walks count repeated ones again
	Transitions int // steps that changed the state
	Ends        int // states at rest, or walks that came to rest
	Depth       int // steps from a start to the state that is farthest away
	Took        time.Duration
	Complete    bool // false when the limit ended the exploration

	Breach *Breach // nil: no invariant is violated
	Path   Path[S, M]
}

// key identifies a state.
type key [16]byte

// node is how a state was reached first.
type node struct {
	parent int32  // -1 for a start
	step   uint16 // the index in the steps of the parent; for a start, the index of the start
}

// explorer is an exploration in progress.
type explorer[S, M any] struct {
	sys   System[S, M]
	known map[key]int32
	nodes []node
	edges edges
	found Result[S, M]
	buf   []byte
}

// Explore visits all states of a system, but no more than most; 0: no limit.
func Explore[S, M any](sys System[S, M], most int) Result[S, M] {
	began := time.Now()
	e := &explorer[S, M]{sys: sys, known: map[key]int32{}}
	e.run(most)
	e.found.States, e.found.Took = len(e.nodes), time.Since(began)
	return e.found
}

func (e *explorer[S, M]) run(most int) {
	var level, next []S
	for i, s := range e.sys.Starts {
		if _, fresh := e.visit(s, node{parent: -1, step: uint16(i)}); !fresh {
			continue
		}
		level = append(level, s)
		if e.found.Breach = e.sys.Broken(s, s); e.found.Breach != nil {
			e.found.Path = Path[S, M]{Start: s}
			return
		}
	}
	var steps []Step[S, M]
	for at := int32(0); len(level) > 0; e.found.Depth++ {
		next = next[:0]
		for _, s := range level {
			steps = e.sys.Steps(s, steps[:0])
			progress := false
			for i, step := range steps {
				to, fresh := e.visit(step.To, node{parent: at, step: uint16(i)})
				if to == at {
					continue // it changes nothing
				}
				e.found.Transitions++
				if breach := e.sys.Broken(s, step.To); breach != nil {
					e.found.Breach, e.found.Path = breach, e.path(at, step)
					return
				}
				if step.Progress {
					progress = true
					e.edges.add(to)
				}
				if fresh {
					next = append(next, step.To)
				}
			}
			if !progress {
				e.found.Ends++
				if breach := e.sys.AtRest(s); breach != nil {
					e.found.Breach, e.found.Path = breach, e.path(at)
					return
				}
			}
			e.edges.close()
			if at++; most > 0 && len(e.nodes) > most {
				return
			}
		}
		level, next = next, level
	}
	e.found.Depth--
	e.found.Complete = true
	e.checkProgress()
}

// visit returns the number of a state. fresh reports that it was not known.
func (e *explorer[S, M]) visit(s S, how node) (number int32, fresh bool) {
	k := e.key(s)
	if number, known := e.known[k]; known {
		return number, false
	}
	number = int32(len(e.nodes))
	e.known[k] = number
	e.nodes = append(e.nodes, how)
	return number, true
}

func (e *explorer[S, M]) key(s S) key {
	e.buf = e.sys.Encode(e.buf[:0], s)
	sum := sha256.Sum256(e.buf)
	return key(sum[:16])
}

// path returns the shortest run to a state by its number, and further steps. It repeats the moves
// from the start, because states are not kept.
func (e *explorer[S, M]) path(number int32, further ...Step[S, M]) Path[S, M] {
	var back []uint16
	n := e.nodes[number]
	for ; n.parent >= 0; n = e.nodes[n.parent] {
		back = append(back, n.step)
	}
	p := Path[S, M]{Start: e.sys.Starts[n.step]}
	for i := len(back) - 1; i >= 0; i-- {
		p.Steps = append(p.Steps, e.sys.Steps(p.End(), nil)[back[i]])
	}
	p.Steps = append(p.Steps, further...)
	return p
}
