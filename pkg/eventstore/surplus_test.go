package eventstore

import (
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSurplus grows a stream snapshot by snapshot, as States does. At any length few snapshots stay,
// they are near each other where the stream is young, and the latest is one of them.
func TestSurplus(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		every := rapid.Int64Range(1, 200).Draw(t, "every")
		length := rapid.Int64Range(1, 600).Draw(t, "length")
		var kept []int64
		for n := int64(1); n <= length; n++ {
			kept = append(kept, n*every)
			if rapid.IntRange(0, 9).Draw(t, "odd") == 0 { // of another interval, before a setting was changed
				kept = append(kept, n*every+every/2)
				slices.Sort(kept)
				kept = slices.Compact(kept)
			}
			drop := surplus(kept, every)
			kept = slices.DeleteFunc(kept, func(v int64) bool { return slices.Contains(drop, v) })
			if kept[len(kept)-1] < n*every {
				t.Fatalf("the latest of %d is gone: %v", n, kept)
			}
			if most := 2*spread + spread*bits.Len64(uint64(n)/(2*spread)) + 1; len(kept) > most {
				t.Fatalf("%d snapshots of %d intervals, want at most %d: %v", len(kept), n, most, kept)
			}
			before := int64(0)
			for _, v := range kept {
				if gap, most := v-before, max(every+every/2, (n*every-before)/spread); gap > most {
					t.Fatalf("of %d intervals there is none between %d and %d, want one within %d: %v", n, before, v, most, kept)
				}
				before = v
			}
		}
	})
	if drop := surplus(nil, 3); drop != nil {
		t.Errorf("nothing of nothing: %v", drop)
	}
}
