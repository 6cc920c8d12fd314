package cli_test

import (
	"strings"
	"testing"
)

func TestFaultsAreListed(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	out, err := s.run("faults", "--list", "--only", "refund-for-good")
	if err != nil || !strings.Contains(out, "refund-for-good") || strings.Contains(out, "charge-for-good") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := s.run("faults", "--list", "--only", "nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown fault: %v", err)
	}
}

// TestFaultsLeaveAShopAlone: the command refuses a shop that exists already.
func TestFaultsLeaveAShopAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if out, err := s.run("faults", "--short", "--only", "charge-slow"); err == nil || !strings.Contains(err.Error(), s.state) {
		t.Errorf("%v\n%s", err, out)
	}
}
