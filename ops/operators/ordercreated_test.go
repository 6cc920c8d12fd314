package operators

import (
	"encoding/json"
	"testing"
)

func TestMinorUnits(t *testing.T) {
	t.Parallel()
	for in, want := range map[json.Number]int64{"10": 1000, "10.0": 1000, "29.99": 2999, "0.05": 5} {
		if got, err := minor(in, "GBP"); got != want || err != nil {
			t.Errorf("minor(%s) = %d, %v; want %d", in, got, err, want)
		}
	}
	for in, want := range map[[2]string]int64{{"1000", "JPY"}: 1000, {"1000.00", "JPY"}: 1000, {"0.055", "BHD"}: 55, {"7", "BHD"}: 7000} {
		if got, err := minor(json.Number(in[0]), in[1]); got != want || err != nil {
			t.Errorf("minor(%s %s) = %d, %v; want %d", in[0], in[1], got, err, want)
		}
	}
	for _, in := range [][2]string{{"0.5", "JPY"}, {"0.005", "GBP"}, {"1e3", "GBP"}, {"", "GBP"}} {
		if got, err := minor(json.Number(in[0]), in[1]); err == nil {
			t.Errorf("minor(%s %s) = %d", in[0], in[1], got)
		}
	}
}
