package ops

import (
	"encoding/json"
	"testing"
)

func TestMinorUnits(t *testing.T) {
	t.Parallel()
	for in, want := range map[json.Number]int64{"10": 1000, "10.0": 1000, "29.99": 2999, "0.05": 5} {
		if got, err := minor(in); got != want || err != nil {
			t.Errorf("minor(%s) = %d, %v; want %d", in, got, err, want)
		}
	}
}
