//! A look at rows of a run that is under way: what passes a node, without a stop and without a change.
//!
//! `voxstream tap` writes a request into the folder `tap/` of the run; the thread that writes `edges` sees it at its
//! next beat, opens the [`Tap`] of the node, and appends a line of JSON for every row that passes until as
//! many as were asked for came by. Then it removes the request, and the command removes the answer.
//!
//! **Costs** where nobody taps, a node reads one counter for each row, and the thread lists one folder that is
//! not there every few seconds. **Changes nothing**: voxels that a pass has not made yet are not made for a
//! tap (that could interpolate twice); the summary says `deferred` then, and the last step of the pass has them.

mod point;
mod requests;
mod summary;

pub use point::{Catch, Tap};
pub use requests::{ANSWER, Answer, FOLDER, REQUEST, Request, Requests};
pub use summary::{ChannelSummary, RowSummary, ValueSummary, VolumeSummary};
