package app_test

import "testing"

// TestTheServicesRoleCanDoNothingElse: all tests of this package run with the service's role of
// production.
func TestTheServicesRoleCanDoNothingElse(t *testing.T) {
	newFixture(t, nil).db.Check(t)
}
