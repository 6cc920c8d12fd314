package sequence

import (
	"slices"
	"testing"
)

// Steps of what the server lists, and who is waited for after each.
func TestWhoIsWaitedFor(t *testing.T) {
	t.Parallel()
	type step struct{ now, open []string }
	for name, c := range map[string]struct {
		noted []string
		steps []step
	}{
		"none": {nil, nil},
		"two end": {[]string{"3/1", "4/1"}, []step{
			{[]string{"3/1", "5/9"}, []string{"3/1"}},
			{[]string{"5/9"}, nil},
		}},
		"one is prepared": {[]string{"3/1"}, []step{
			{[]string{"-1/700"}, []string{"-1/700"}},
			{[]string{"-1/700", "-1/701"}, []string{"-1/700"}},
			{[]string{"-1/701"}, nil},
		}},
		"one was prepared before": {[]string{"-1/700"}, []step{
			{[]string{"-1/700", "3/2"}, []string{"-1/700"}},
			{[]string{"3/2"}, nil},
		}},
		"others are prepared while it stays": {[]string{"3/1"}, []step{
			{[]string{"3/1", "-1/700"}, []string{"3/1"}},
			{[]string{"3/1", "-1/700", "-1/701"}, []string{"3/1"}},
			{[]string{"-1/700", "-1/701"}, nil}, // it ended: neither is new
		}},
		"one of two may be it": {[]string{"3/1"}, []step{
			{[]string{"-1/700", "-1/701"}, []string{"-1/700", "-1/701"}},
			{[]string{"-1/701", "-1/702"}, []string{"-1/701"}}, // 702 is new, but no session's writer is gone
			{[]string{"-1/702"}, nil},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := Writers{open: slices.Clone(c.noted), prepared: slices.DeleteFunc(slices.Clone(c.noted), ofSession)}
			for i, s := range c.steps {
				w.step(s.now)
				if !slices.Equal(w.open, s.open) {
					t.Errorf("step %d: waits for %v, want %v", i, w.open, s.open)
				}
			}
		})
	}
}
