package rtmp_test

// benchChild is set where there are benchmarks that start processes.
var benchChild = benchClients
