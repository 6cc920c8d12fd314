package app_test

import "testing"

// TestTheServicesRoleCanDoNothingElse: all tests of this package run as the role that the
// service has in production.
func TestTheServicesRoleCanDoNothingElse(t *testing.T) {
	newModels(t).db.Check(t)
}
