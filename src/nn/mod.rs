//! 3-D network operators on candle: channels last, forward and backward.
