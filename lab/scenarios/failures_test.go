package scenarios

import "testing"

func TestOrderedLooksAtEachTopicByItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []entry
		want    bool
	}{
		"nothing":                 {nil, true},
		"topics interleaved":      {[]entry{{"order", "A", 1}, {"shipping", "B", 1}, {"order", "C", 2}, {"shipping", "D", 2}}, true},
		"a gap is no disorder":    {[]entry{{"order", "A", 1}, {"order", "C", 4}}, true},
		"the follower came first": {[]entry{{"order", "A", 1}, {"order", "C", 3}, {"order", "B", 2}}, false},
		"twice":                   {[]entry{{"order", "A", 1}, {"order", "A", 1}}, false},
	} {
		if got := ordered(c.entries); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
