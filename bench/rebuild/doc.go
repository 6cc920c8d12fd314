// Package rebuild measures fillings of the projection service's read models: the real program fills a
// version from the beginning of the topics, and its rate is compared with what the same work costs at
// least, and with a transaction per event.
//
// The topics have whole histories of orders ([Histories]) on an embedded broker in this process. The
// positions of the service's consumer are set behind all records before the service starts, so that
// only the filling works while it is measured.
package rebuild
