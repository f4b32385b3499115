package connection

const (
	AttemptTimeout = attemptTimeout
	HurryAgain     = hurryAgain
	TestingEnded   = testingEnded
)
