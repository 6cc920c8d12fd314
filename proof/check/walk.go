package check

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// longest bounds the steps of one walk. A system that comes to rest needs far less.
const longest = 10_000

// Walk makes random runs, each from a random start until no progress is possible, and checks the
// invariants of each step and the states at rest. Equal seeds make equal runs. It is for systems
// that have too many states for [Explore]. It proves nothing about what it did not see, and the path
// of a breach is not the shortest.
func Walk[S, M any](sys System[S, M], runs int, seed uint64) Result[S, M] {
	began := time.Now()
	w := &walker[S, M]{sys: sys, random: rand.New(rand.NewPCG(seed, 0))}
	found := Result[S, M]{Complete: true}
	for range runs {
		w.run(&found)
		if found.Breach != nil {
			break
		}
	}
	found.Took = time.Since(began)
	return found
}

// walker makes runs.
type walker[S, M any] struct {
	sys    System[S, M]
	random *rand.Rand

	steps    []Step[S, M]
	own, buf []byte // encodings
}

// run makes one run and adds it to what was found.
func (w *walker[S, M]) run(found *Result[S, M]) {
	sys, random := w.sys, w.random
	run := Path[S, M]{Start: sys.Starts[random.IntN(len(sys.Starts))]}
	state := run.Start
	for len(run.Steps) < longest {
		found.States++
		steps := w.changing(state)
		progress := false
		for _, s := range steps {
			progress = progress || s.Progress
		}
		if !progress {
			found.Ends++
			found.Depth = max(found.Depth, len(run.Steps))
			if found.Breach = sys.AtRest(state); found.Breach != nil {
				found.Path = run
			}
			return
		}
		step := steps[random.IntN(len(steps))]
		run.Steps = append(run.Steps, step)
		found.Transitions++
		if found.Breach = sys.Broken(state, step.To); found.Breach != nil {
			found.Path = run
			return
		}
		state = step.To
	}
	found.Breach = &Breach{EndlessProgress, fmt.Sprintf("not at rest after %d steps", longest)}
	found.Path = run
}

// changing returns the steps that change the state.
func (w *walker[S, M]) changing(state S) []Step[S, M] {
	w.own = w.sys.Encode(w.own[:0], state)
	w.steps = slices.DeleteFunc(w.sys.Steps(state, w.steps[:0]), func(s Step[S, M]) bool {
		w.buf = w.sys.Encode(w.buf[:0], s.To)
		return bytes.Equal(w.buf, w.own)
	})
	return w.steps
}
