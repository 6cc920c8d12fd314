package check_test

import (
	"fmt"
	"strings"
	"testing"

	"eventshop.example/proof/check"
)

// graph is a system by its edges: "a>b" is progress, "a-b" is another move. It starts at a. States
// named in bad are broken, and ends are the states that may be at rest.
type graph struct {
	edges, bad, ends string
}

func (g graph) system() check.System[string, string] {
	return check.System[string, string]{
		Starts: []string{"a"},
		Steps: func(s string, steps []check.Step[string, string]) []check.Step[string, string] {
			for _, e := range strings.Fields(g.edges) {
				if e[:1] == s {
					steps = append(steps, check.Step[string, string]{Move: e, Progress: e[1] == '>', To: e[2:]})
				}
			}
			return steps
		},
		Encode: func(b []byte, s string) []byte { return append(b, s...) },
		Broken: func(_, to string) *check.Breach {
			if strings.Contains(g.bad, to) {
				return &check.Breach{Invariant: "bad", Text: to}
			}
			return nil
		},
		AtRest: func(s string) *check.Breach {
			if !strings.Contains(g.ends, s) {
				return &check.Breach{Invariant: "rest", Text: s}
			}
			return nil
		},
	}
}

func moves(p check.Path[string, string]) string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, s.Move)
	}
	return strings.Join(out, " ")
}

func TestExplore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		graph  graph
		states int
		breach string // "" when nothing is violated
		path   string
	}{
		{"all states once", graph{edges: "a>b a>c b>d c>d", ends: "d"}, 4, "", ""},
		{"what changes nothing is no progress", graph{edges: "a>b b>b", ends: "b"}, 2, "", ""},
		{"the first state is checked", graph{edges: "a>b", bad: "a", ends: "b"}, 1, "bad", ""},
		{"the shortest way to a broken state", graph{edges: "a>b b>c c>e a>d d>e", bad: "e", ends: "e"}, 5, "bad", "a>d d>e"},
		{"a way by a fault", graph{edges: "a>b a-c c-d", bad: "d", ends: "abc"}, 4, "bad", "a-c c-d"},
		{"at rest and not at an end", graph{edges: "a>b a>c c>d", ends: "d"}, 3, "rest", "a>b"},
		{"a fault is no progress", graph{edges: "a>b b-c", ends: "c"}, 3, "rest", "a>b"},
		{"no end", graph{edges: "a>b a>c c>d d>c", ends: "b"}, 4, check.NoEnd, "a>c"},
		{"endless, though an end can be reached", graph{edges: "a>b b>c c>b c>d", ends: "d"}, 4, check.EndlessProgress, "a>b b>c c>b"},
		{"a cycle by faults ends when the faults do", graph{edges: "a>b b-a", ends: "b"}, 2, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found := check.Explore(c.graph.system(), 0)
			if found.States != c.states {
				t.Errorf("%d states, want %d", found.States, c.states)
			}
			invariant := ""
			if found.Breach != nil {
				invariant = found.Breach.Invariant
			}
			// An endless run begins at the first state that leads to the cycle.
			if got := moves(found.Path); invariant != c.breach || got != c.path {
				t.Errorf("found %q after %q, want %q after %q", invariant, got, c.breach, c.path)
			}
		})
	}
}

func TestTheLimitEndsAnExploration(t *testing.T) {
	t.Parallel()
	endless := check.System[int, string]{
		Starts: []int{0},
		Steps: func(s int, steps []check.Step[int, string]) []check.Step[int, string] {
			return append(steps, check.Step[int, string]{Move: "next", Progress: true, To: s + 1})
		},
		Encode: func(b []byte, s int) []byte { return fmt.Append(b, s) },
		Broken: func(_, _ int) *check.Breach { return nil },
		AtRest: func(int) *check.Breach { return nil },
	}
	if found := check.Explore(endless, 100); found.Complete || found.States != 101 || found.Breach != nil {
		t.Errorf("found %+v", found)
	}
	if found := check.Walk(endless, 1, 1); found.Breach == nil || found.Breach.Invariant != check.EndlessProgress {
		t.Errorf("a walk without an end found %+v", found.Breach)
	}
}

func TestWalk(t *testing.T) {
	t.Parallel()
	g := graph{edges: "a>b a>c b>d c>d d-e e>f", ends: "df"}
	found := check.Walk(g.system(), 100, 1)
	if found.Breach != nil || found.Ends != 100 || found.Depth < 2 {
		t.Errorf("found %+v", found)
	}
	g.bad = "c"
	found = check.Walk(g.system(), 100, 1)
	if found.Breach == nil || found.Path.End() != "c" {
		t.Errorf("found %+v after %q, want c broken", found.Breach, moves(found.Path))
	}
	again := check.Walk(g.system(), 100, 1)
	if again.States != found.States || moves(again.Path) != moves(found.Path) {
		t.Error("the same seed made other runs")
	}
	g.bad, g.ends = "", "f"
	if found = check.Walk(g.system(), 100, 1); found.Breach == nil || found.Breach.Invariant != "rest" {
		t.Errorf("found %+v, want d at rest", found.Breach)
	}
}
